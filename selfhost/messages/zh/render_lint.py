"""Messages of the linter of deployment files."""

from __future__ import annotations

from selfhost.messages import Text

MESSAGES: dict[str, Text] = {
    "render_lint.line": Text("{where}: {severity}{rule}: {what}"),
    "render_lint.clean": Text("{count} 个文件：未发现问题"),
    "render_lint.bad_yaml": Text(
        "不是可检查的 YAML 文件：{file}",
        "{detail}",
        "请修正；模板应先生成，例如 `helm template CHART > all.yaml`",
    ),
    "render_lint.bad_unit": Text(
        "不是单元文件：{file}",
        "第 {line} 行既不是节，也不是 `Key=value`：{text}",
        "修正该行",
    ),
    "render_lint.unreadable": Text(
        "有文件无法读取：{file}",
        "{detail}",
        "请给出文本文件的路径",
    ),
    "render_lint.too_large": Text(
        "文件过大，不会是部署文件：{file}",
        "实际为 {size}；最多读取 {limit}",
        "请指定要检查的文件：`selfhost render --lint compose.yaml`",
    ),
    "render_lint.nothing": Text(
        "没有可检查类型的文件",
        "给出的是：{files}",
        "请给出 compose 文件、quadlet、单元或 Kubernetes 对象：`selfhost render --lint compose.yaml`",
    ),
    "render_lint.bad_cuda": Text(
        "不是 CUDA 版本：{value}",
        "应为两个数字，`12.8`",
        "显示驱动支持的版本：`nvidia-smi`",
    ),
    "render_lint.unknown_rule": Text(
        "没有该规则：{rule}",
        "已知：R1 至 R20",
        "请使用其中之一：`--ignore R5`",
    ),
    "render_lint.not_known": Text("未检查：既不是 compose，也不是单元或 Kubernetes 对象"),
    "render_lint.drop_in": Text("未检查：该 drop-in 所属的单元不在文件之中：{unit}"),
    "render_lint.by_hand": Text("未检查：以一行选项运行容器的单元", hint="改写为 quadlet 或 compose：它们可以检查"),
    "render_lint.rules": Text(
        "检查内容",
        "R1   镜像用摘要指定；本机构建的镜像有版本，且从不拉取\nR2   要求引擎不联网、不上报使用情况\n"
        "R3   原版引擎只能经由带允许名单的网关访问\nR4   TERM 与 KILL 之间有时间完成运行中的请求\n"
        "R5   启动的每个时限都长于启动用时（`--model`、`--disk-mb-s`：长于读取权重的时间）\nR6   引擎受到监视，"
        "探针不需要密钥：`/health`，而非 `/v1/...`\nR7   没有 HTTP 的节点由连接首个节点的探针监视\n"
        "R8   没有名为 `vllm` 的 Service，且关闭 Service 变量\nR9   预留按编号或 ID 指定设备，并写明用途\n"
        "R10  各并行度之积等于设备数，可均分到节点，并适合模型（`--model`）\nR11  多个进程有共享内存，"
        "且容器有相应的内存\nR12  敏感信息不出现在会传递的文件、命令或他人可读的文件中\nR13  容器启动时不安装、"
        "不下载任何东西\nR14  权重只读；缓存可写，且位于别处\nR15  同一引擎的各节点运行同一镜像、读取同一模型\n"
        "R16  告警规则和仪表盘查询引擎确有的指标\nR17  昇腾：写明命令，设备带有管理设备，镜像与芯片相符（`--on`）\n"
        "R18  驱动可运行镜像的 CUDA（`--cuda`）\nR19  集群或内核阻止引擎联网\nR20  引擎确有每个选项和每个取值",
        "排除一项：`selfhost render --lint FILE --ignore R5`",
    ),
    "render_lint.r1_tag": Text(
        "标签可能移动：{image}",
        "同一文件明天可能启动别的内容",
        "用摘要指定：`skopeo inspect --format '{{{{.Digest}}}}' docker://{image}`，再写 `NAME@sha256:...`",
    ),
    "render_lint.r1_moving": Text(
        "镜像没有版本：{image}",
        "`{tag}` 随每次构建移动",
        "写明版本，如 `selfhost image ls` 所示",
    ),
    "render_lint.r1_pulled": Text(
        "会去拉取本机构建的镜像：{image}",
        "镜像仓库中没有它；拉取策略：{pull}",
        "compose：`pull_policy: never`；quadlet：`Pull=never`；Kubernetes：`imagePullPolicy: Never`，"
        "卷用 `pullPolicy: Never`",
    ),
    "render_lint.r1_variable": Text(
        "文件中没有写明运行哪个镜像：{image}",
        hint="写明镜像及其摘要，或一并给出设置该变量的文件",
    ),
    "render_lint.r1_not_brought": Text(
        "离线包中没有该镜像：{image}",
        hint="加入离线包：`selfhost bundle create --image {image} --to /media/usb`",
    ),
    "render_lint.r2_online": Text(
        "引擎可能会访问模型仓库：{name}",
        "`HF_HUB_OFFLINE` 没有设为 1",
        "设置 `HF_HUB_OFFLINE=1`、`TRANSFORMERS_OFFLINE=1`、`VLLM_NO_USAGE_STATS=1`",
    ),
    "render_lint.r2_usage": Text(
        "引擎会上报使用情况：{name}",
        "`VLLM_NO_USAGE_STATS` 和 `DO_NOT_TRACK` 都没有设为 1",
        "设置 `VLLM_NO_USAGE_STATS=1`",
    ),
    "render_lint.r3_published": Text(
        "引擎自己的端口被发布：{port}",
        "原版服务的控制路由和多数其他路由无需密钥即可访问",
        "改为发布带允许名单的网关，并让引擎用 `--host 127.0.0.1` 监听",
    ),
    "render_lint.r3_host_network": Text(
        "引擎监听主机的所有地址：端口 {port}",
        "它共用主机的网络，且 `--host` 不是回环地址",
        "让它用 `--host 127.0.0.1` 监听，置于带允许名单的网关之后",
    ),
    "render_lint.r3_service": Text(
        "Service `{name}` 指向引擎自己的端口：{port}",
        "容器 `{container}` 在那里的控制路由和多数其他路由无需密钥即可访问",
        "改为指向同一 pod 中的网关，并让引擎用 `--host 127.0.0.1` 监听",
    ),
    "render_lint.r3_prefix": Text(
        "网关放行所有以此开头的路由：{location}",
        "其中有未经审查的路由",
        "为每个路由写一条 `location = /path`",
    ),
    "render_lint.r3_route": Text("网关放行了不在名单上的路由：{path}", hint="删除其 `location`"),
    "render_lint.r3_lacking": Text(
        "网关缺少客户端要用的路由",
        "未放行：{paths}",
        "加上它们；若有意如此，用 `--ignore R3`",
    ),
    "render_lint.r4_grace": Text(
        "`{name}` 在停止完成之前会被杀死",
        "TERM 到 KILL：{grace} s；需要：{needed} s（停止前等待 {pre_stop} s，运行中的请求 {drain} s，其余为自身所需）",
        "compose：`stop_grace_period`；quadlet：`StopTimeout=` 和 `TimeoutStopSec=`；systemd：`TimeoutStopSec=`；"
        "Kubernetes：`terminationGracePeriodSeconds`",
    ),
    "render_lint.r4_cut": Text(
        "`{name}` 停止时会切断运行中的请求",
        "不指定时 `--shutdown-timeout` 为 0",
        "加 `--shutdown-timeout 10`",
    ),
    "render_lint.r5_killed": Text(
        "`{name}` 可能在启动期间被结束",
        "启动时限为 {limit} s；引擎自身在 {ready} s 后才放弃（`VLLM_ENGINE_READY_TIMEOUT_S`）",
        "Kubernetes：用 `startupProbe`，使 `failureThreshold` x `periodSeconds` 大于它；systemd 和 quadlet："
        "`TimeoutStartSec=`",
    ),
    "render_lint.r5_health": Text(
        "可能在启动期间被判为不健康",
        "{limit} s 后开始计失败；引擎自身在 {ready} s 后才放弃（`VLLM_ENGINE_READY_TIMEOUT_S`）",
        "compose：`start_period`；quadlet：`HealthStartPeriod=`",
    ),
    "render_lint.r5_weights": Text(
        "`{name}` 会在读完权重之前放弃",
        "`VLLM_ENGINE_READY_TIMEOUT_S`：{ready} s；需要 {needed} s；以 {speed} MB/s 读取需 {load} s",
        "设置 `VLLM_ENGINE_READY_TIMEOUT_S={needed}`",
    ),
    "render_lint.r5_group": Text(
        "节点之间放弃等待早于引擎放弃启动",
        "进程组：{limit} s；启动：{ready} s",
        "加 `--distributed-timeout-seconds {ready}`",
    ),
    "render_lint.r6_keyed": Text(
        "探针访问需要密钥的路由：{path}",
        "它会得到 401，容器被判为故障",
        "改访问不需要密钥的 `/health`",
    ),
    "render_lint.r6_none": Text("引擎没有受到监视：{name}", hint="添加访问 `/health` 的探针"),
    "render_lint.r7_unwatched": Text(
        "没有 HTTP 的节点没有受到监视：{name}",
        "它失效后看上去仍健康，而其他节点会一直等待（github.com/defilantech/LLMKube/issues/1781）",
        "添加执行命令的探针，由它连接首个节点的主端口",
    ),
    "render_lint.r7_http": Text(
        "探针访问没有 HTTP 的节点：{path}",
        "`{name}` 以 `--headless` 运行：那里没有应答",
        "让探针执行命令，连接首个节点的主端口",
    ),
    "render_lint.r8_name": Text(
        "名为 `{name}` 的 Service 会使引擎停止",
        "Kubernetes 会为它设置 `VLLM_PORT=tcp://...`，引擎把它当作自己的端口",
        "换一个名称",
    ),
    "render_lint.r8_links": Text(
        "命名空间中所有 Service 的变量都会传给引擎：{name}",
        "若有名为 `vllm` 的 Service，其变量（`VLLM_PORT`）会使引擎停止",
        "设置 `enableServiceLinks: false`",
    ),
    "render_lint.r9_both": Text(
        "设备同时按数量和 ID 指定",
        "count：{count}；device_ids：{ids}",
        "`count` 和 `device_ids` 只保留一个",
    ),
    "render_lint.r9_capabilities": Text(
        "设备预留没有 capabilities",
        "compose 会拒绝该文件",
        "加 `capabilities: [gpu]`",
    ),
    "render_lint.r10_devices": Text(
        "引擎使用的设备数与分给它的不同：{ranks} 与 {devices}",
        "本节点上张量 x 流水线 x 数据并行度：{ranks}；设备：{devices}",
        "使两者相等",
    ),
    "render_lint.r10_nodes": Text("{world} 个 rank 无法均分到 {nodes} 个节点", hint="修改 `--nnodes` 或并行度"),
    "render_lint.r10_rank": Text(
        "`--node-rank {rank}`，共 {nodes} 个节点",
        "rank 从 0 开始",
        "修改 `--node-rank` 或 `--nnodes`",
    ),
    "render_lint.r10_local": Text(
        "{data} 个引擎无法按每节点 {here} 个划分",
        hint="修改 `--data-parallel-size` 或 `--data-parallel-size-local`",
    ),
    "render_lint.r10_heads": Text("{heads} 个注意力头不能被 {tensor} 整除", hint="修改 `--tensor-parallel-size`"),
    "render_lint.r10_dense": Text("`{flag}` 用于混合专家模型，而该模型是稠密的", hint="在路由器之后启动相互独立的服务"),
    "render_lint.r11_default": Text(
        "{ranks} 个进程没有共享内存",
        "容器默认为 64 MiB；NCCL 需要更多（github.com/vllm-project/vllm/issues/1710）",
        "compose：`shm_size: 16g`；quadlet：`ShmSize=16g`；Kubernetes：在 /dev/shm 挂载 `medium: Memory` 的 `emptyDir`",
    ),
    "render_lint.r11_small": Text("{ranks} 个进程的共享内存偏少：{shm}", hint="每个进程 2 GiB，最多共 16 GiB"),
    "render_lint.r11_limit": Text(
        "仅共享内存就可能占满容器",
        "共享内存：{shm}；内存：{limit}；前者计入后者",
        "提高内存上限，或把 /dev/shm 的大小设在其以下",
    ),
    "render_lint.r12_variable": Text(
        "文件中有敏感信息：{variable}",
        "读到该文件的人都会得到它",
        "放入单独的文件，或放入 secret 而在此只写名称",
    ),
    "render_lint.r12_argument": Text(
        "命令中有敏感信息：{flag}",
        "列出进程的人都会得到它",
        "放入单独的文件，或放入 secret 而在此只写名称",
    ),
    "render_lint.r12_object": Text(
        "文件中的 Secret 带有值",
        hint="在文件之外创建：`kubectl create secret generic NAME --from-file=FILE`",
    ),
    "render_lint.r12_key": Text("疑似密钥，开头为：{start}", hint="删除它，并换一个新的：它已出现在文件中"),
    "render_lint.r12_mode": Text(
        "他人可读取敏感信息：{variable}",
        "权限：{mode}",
        "`chmod 600 {path}`",
    ),
    "render_lint.r13_installs": Text(
        "容器启动时会安装软件：{commands}",
        "没有网络就无法启动；有网络则每次启动的容器都不同",
        "放入镜像",
    ),
    "render_lint.r13_fetches": Text(
        "容器启动时会下载内容：{host}",
        "没有网络就无法启动",
        "放入镜像或卷",
    ),
    "render_lint.r14_writable": Text(
        "引擎可以改动权重：{path}",
        "挂载自：{source}",
        "以只读方式挂载",
    ),
    "render_lint.r14_together": Text(
        "缓存写在权重旁：{variable}={path}",
        "两者都在 {mount} 之下",
        "为缓存使用单独的卷",
    ),
    "render_lint.r14_read_only": Text(
        "缓存无法写入：{variable}={path}",
        "{mount} 以只读方式挂载",
        "为缓存使用单独的卷",
    ),
    "render_lint.r14_root": Text(
        "缓存无法写入：{variable}={path}",
        "容器的根文件系统只读，且那里没有挂载",
        "为缓存使用单独的卷",
    ),
    "render_lint.r15_image": Text(
        "同一引擎的节点运行不同的镜像",
        "此处：{here}\n另一处：{there}（{where}）",
        "所有节点运行同一镜像",
    ),
    "render_lint.r15_model": Text(
        "同一引擎的节点读取不同的模型",
        "此处：{here}\n另一处：{there}（{where}）",
        "所有节点读取同一模型",
    ),
    "render_lint.r16_metric": Text(
        "引擎没有该指标：{metric}",
        "相近的：{nearest}",
        "改用它已有的指标",
    ),
    "render_lint.r17_command": Text(
        "容器没有运行引擎：{image}",
        "昇腾的镜像在未指定命令时启动 shell",
        "写明命令：`vllm serve /path/of/model`",
    ),
    "render_lint.r17_devices": Text(
        "容器中没有昇腾设备",
        "应有：`/dev/davinci0` 等，或运行时 `ascend`",
        "添加设备",
    ),
    "render_lint.r17_managers": Text(
        "昇腾设备缺少其管理设备",
        "缺少：{lacking}",
        "与 /dev/davinci* 一并添加",
    ),
    "render_lint.r17_family": Text(
        "镜像用于其他昇腾芯片：{image}",
        "适用于：{made_for}；机器上是：{family}",
        "使用后缀与机器相符的镜像：A2 无后缀，其余为 `-a3`、`-310p`、`-950dt`",
    ),
    "render_lint.r18_cuda": Text(
        "驱动对该镜像过旧：{image}",
        "镜像的 CUDA：{cuda}；驱动最高支持：{ceiling}",
        "使用 CUDA 较旧的镜像，或更新驱动",
    ),
    "render_lint.r19_policy": Text(
        "没有措施阻止引擎联网：{name}",
        "没有针对其 pod 且含 `policyTypes: [Egress]` 的 NetworkPolicy",
        "在命名空间中添加一条拒绝的，再添加一条放行所需流量的",
    ),
    "render_lint.r19_unit": Text(
        "没有措施阻止引擎联网：{name}",
        "没有设置 `IPAddressDeny=any`",
        "设置 `IPAddressDeny=any` 和 `IPAddressAllow=localhost`",
    ),
    "render_lint.r20_flag": Text(
        "{engine} 没有该选项：{flag}",
        "相近的：{nearest}",
        "删除它，或按 `vllm serve --help=all` 中的写法",
    ),
    "render_lint.r20_key": Text(
        "{engine} 的 `{flag}` 没有该键：{key}",
        "相近的：{nearest}；引擎会忽略该键且没有提示",
        "更正或删除它",
    ),
    "render_lint.r20_object": Text("`{flag}` 需要 JSON 对象：{value}", hint="""写作 `{flag} '{{"key": 1}}'`"""),
    "render_lint.r20_shortened": Text(
        "选项被缩写：{flag}",
        "它目前是 `{whole}`，一旦有其他选项也以此开头就会失效",
        "写作 `{whole}`",
    ),
    "render_lint.r20_choice": Text(
        "{engine} 不接受：`{flag} {value}`",
        "已知：{choices}",
        "请使用其中之一",
    ),
    "render_lint.r20_model": Text(
        "模型应是 `vllm serve` 之后的第一个词：{model}",
        "`--model` 将被移除",
        "写作 `vllm serve {model}`",
    ),
    "render_lint.r20_version": Text("未检查选项：镜像是另一版本", "镜像：{other}；此处已知：{pinned}"),
}
