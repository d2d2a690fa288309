"""Chinese: the messages of each area of `en`, under the same ids, with the same placeholders.

Rules: what stands in backticks (commands, options, files, ids) and every placeholder with its format stay as they are;
no 。 at the end; full-width punctuation （，：；、） in prose, a space between Chinese and Latin letters, digits or
backticks; 您 is not used. What has lines has as many lines. A message that is missing here is said in English.

    accelerator 加速卡            device 设备              GPU, NPU, rank, token as they are
    activation 激活值             allow-list 允许名单      answer (HTTP) 响应
    architecture 架构             boot 启动                boot record 启动记录
    bundle 离线包                 cache 缓存               calibration 校准
    certificate 证书              checksum 校验和          checkpoint 检查点
    claim 声明                    closed site 封闭站点     cluster 集群
    command 命令                  compressed 压缩          container 容器
    context length 上下文长度     core (CPU) 核            digest 摘要
    disk 磁盘                     download 下载            driver 驱动
    endpoint 接口                 engine 引擎              environment 环境
    expert 专家                   expired 已过期           export 导出
    file system 文件系统          firmware 固件            folder, directory 目录
    gateway 网关                  graph (CUDA) 图          group size 组大小
    hardware 硬件                 host 主机                image (container) 镜像
    import 导入                   index 索引               install 安装
    interface 网络接口            interrupted 被中断       kernel 内核 (operating system), 算子 (GPU)
    key (API) 密钥                key (JSON, TOML) 键      KV cache KV 缓存
    layer 层                      layout 布局              licence 许可证
    link 链接                     lint 检查                load (weights) 加载
    lock file 锁文件              log 日志                 manifest 清单
    match 相符                    measured 实测            memory 内存 (host), 显存 (accelerator)
    mirror 镜像站                 mismatch 不符            model 模型
    multi-node 多机               node 节点                option, flag 选项
    overhead 开销                 owner 所有者             package 软件包
    parallel 并行                 parameter 参数           path 路径
    permission 权限               plan 规划                port 端口
    predicted 预测                process 进程             prompt 提示词
    public key 公钥               quantize 量化            readiness 就绪
    recipe 配方                   refuse 拒绝              registry 镜像仓库 (images), 仓库 (models: hub)
    release 版本                  remove 移除              render 生成
    replace 替换                  repository 仓库          request 请求
    request the server 请求       restart 重启             resume 续传
    revision 版本 (commit)        risk 风险                rotate 轮换
    scheme 方案                   server 服务              setting 设置
    shard 分片                    shared memory 共享内存   sign 签名
    signature 签名                size 大小                snapshot 快照
    source 来源                   speculative decoding 推测解码
    store 存储库                  supervisor 守护进程      symlink 符号链接
    tensor 张量                   tool 工具                train 训练
    trust 信任                    unit 单位                unpack 解包
    unsupported 不支持            upload 上传              usable 可用
    user 用户                     utilization 利用率       variant 变体
    verify 校验                   version 版本             volume 卷
    warning 警告                  weights 权重             wheel wheel 包
"""
