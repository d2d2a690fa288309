"""`recipe new` 的消息：刚起草的配方中写了什么，以及无法从什么起草。"""

from selfhost.messages import Text

MESSAGES = {
    # 错误
    "draft.name_taken": Text(
        "已有名为 `{name}` 的内置配方",
        "`{path}` 会取代它",
        "若是它的又一个检查点：`--variant-of {name}`；若是另一个模型，请另取名称：`--name NAME`",
    ),
    "draft.hub_id_known": Text(
        "`{id}` 已在配方 `{recipe}` 中，是它的{what}",
        "两个配方若有同一个仓库 ID，就无法区分",
        "查看：`selfhost recipe show {recipe}`；仍想看看新的：`--output -`",
    ),
    "draft.the_model_itself": Text("模型"),
    "draft.a_variant": Text("变体 `{variant}`"),
    "draft.exists": Text(
        "`{path}` 已存在",
        "其中已有人写的内容会丢失",
        "用 `--output FILE` 写到别处，用 `--output -` 先看一看，或用 `--force` 替换",
    ),
    "draft.bad_name": Text(
        "`{name}` 不能用作配方的名称",
        "需要：小写字母和数字，中间可用 `.`、`_` 和 `-`",
        "换一个可用的名称：`--name my-model`",
    ),
    "draft.output_name": Text(
        "文件 `{path}` 不能存放配方 `{name}`",
        "配方与其文件同名：应为 `{name}.toml`",
        "去掉 `--name`，或写到 `--output {name}.toml`",
    ),
    "draft.not_a_model": Text(
        "`{what}` 既不是仓库 ID，也不是目录",
        "需要 `ORGANISATION/NAME`，即 Hugging Face 或 ModelScope 上的写法，或含有 config.json 的目录",
        "目录写作 `./{what}`",
    ),
    "draft.offline": Text(
        "处于离线状态，无法查看 `{id}`",
        "其配置和文件大小要向模型仓库询问；{reason}",
        "去掉 `--offline` 和 `SELFHOST_OFFLINE` 再运行，或指定一个存有它的目录：`selfhost recipe new {directory}`",
    ),
    "draft.directory_source": Text(
        "`{option}` 不能与目录一起使用",
        "来源就是 `{path}`",
        "去掉 `{option}`，或指定仓库 ID",
    ),
    "draft.variant_options": Text(
        "`{option}` 不能与 `--variant-of` 一起使用",
        "变体的系列和标题与其配方相同",
        "去掉 `{option}`",
    ),
    "draft.other_model": Text(
        "`{id}` 不是 `{recipe}` 的检查点",
        "{key}：配方为 {wanted}，仓库为 {found}",
        "为它单独起草一个配方：去掉 `--variant-of`",
    ),
    "draft.not_understood": Text(
        "无法理解 `{id}` 的配置，因此不能与配方 `{recipe}` 比较",
        "{detail}",
        "为它单独起草一个配方：去掉 `--variant-of`",
    ),
    "draft.config_differs": Text(
        "`{id}` 的配置无法写成 `{recipe}` 的变体",
        "把与配方不同的键全部写上之后，架构仍然不同",
        "为它单独起草一个配方：去掉 `--variant-of`",
    ),
    "draft.variant_taken": Text(
        "配方 `{recipe}` 已有变体 `{variant}`",
        "变体：{names}",
        "另取名称：`--name {variant}-2`，或用 `--force` 取代它",
    ),
    "draft.variant_written": Text(
        "`{recipe}` 的变体 `{variant}` 写在 `{path}` 中，出自人手",
        "要删去它，就不得不改动它周围的内容",
        "在文件中自行删去，或另取名称：`--name {variant}-2`",
    ),
    "draft.cannot_add": Text(
        "无法为 `{path}` 中的配方 `{recipe}` 添加变体",
        "添加后文件将无效：{detail}",
        "把其变体写成 `[[variant]]` 表；文件保持原样",
    ),
    "draft.recipe_elsewhere": Text(
        "配方 `{recipe}` 在 `{path}`，不在您自己的配方所在之处",
        "需要：内置配方，或 `{folder}` 中的配方",
        "复制到那里，或打印变体后手工放入：`--output -`",
    ),
    "draft.only_builtin": Text(
        "`{path}` 不能为 `{recipe}` 添加变体",
        "单独的文件只能扩展内置配方；`{recipe}` 在 `{origin}`",
        "去掉 `--output`：变体会写入那个文件",
    ),
    # 写入文件的内容
    "draft.head": Text("由 `selfhost recipe new {of}` 起草：读到或算出的写在这里，尚待完成的标有 TODO"),
    "draft.variant_head": Text("由 `selfhost recipe new` 写入的变体"),
    "draft.variant_rest": Text("其余与同名的内置配方相同"),
    "draft.variant_of": Text("配置与文件大小：{of}"),
    "draft.summary_model": Text("语言模型"),
    "draft.summary_model_sees": Text("能看图像的语言模型"),
    "draft.summary_dense": Text("稠密语言模型"),
    "draft.summary_dense_sees": Text("能看图像的稠密语言模型"),
    "draft.summary_experts": Text("混合专家模型"),
    "draft.summary_experts_sees": Text("能看图像的混合专家模型"),
    "draft.fact_config": Text("配置"),
    "draft.fact_counted": Text("配置；参数量：由它计数"),
    "draft.fact_bytes": Text("字节数：文件大小之和；bytes_loaded：减去配置表明不加载的部分"),
    "draft.fact_sampling": Text("采样参数"),
    "draft.fact_licence": Text("许可证"),
    "draft.licence_not_read": Text("许可证：README 的元数据称为 {id}；未读其正文"),
    "draft.licence_differs": Text("许可证：README 的元数据称为 {id}，但其许可证文件看上去是 {other}"),
    "draft.licence_terms": Text("许可证：未读其条款；research_only 由名称推断"),
    "draft.licence_by_text": Text("许可证：由许可证文件的开头判断为 {id}；元数据中没有"),
    "draft.licence_unknown": Text("许可证：读到的内容都没有说明"),
    "draft.note_code": Text(
        "其模型类是仓库中的 Python 代码：引擎只有加上 `--trust-remote-code` 才会运行，而 selfhost 不传此选项"
    ),
    "draft.note_tokenizer": Text(
        "其分词器是仓库中的 Python 代码：引擎只有加上 `--trust-remote-code` 才会运行，而 selfhost 不传此选项"
    ),
    "draft.files_doubt": Text("文件：{sentence}"),
    "draft.not_read": Text("起草本配方时未读其条款：使用前请阅读"),
    # 尚待完成的事项
    "draft.todo_family": Text("由名称推测；`selfhost recipe ls --family NAME` 列出同系列的其他配方"),
    "draft.todo_summary": Text("用一行说明其用途；见模型卡"),
    "draft.todo_hub_id": Text("模型本身在 Hugging Face 上的仓库"),
    "draft.todo_context": Text("模型所支持的 token 数；配置中没有"),
    "draft.todo_parameters": Text("未计数：selfhost 不理解该配置；见模型卡"),
    "draft.todo_licence": Text("README 和许可证文件都没有说明；填写 SPDX 标识或 LicenseRef-NAME"),
    "draft.todo_licence_url": Text("其正文的 https 地址"),
    "draft.todo_conditions": Text(
        "阅读正文；然后把用户在使用前须知的事项逐条写在此处，一句一条，不允许商用时写 `research_only = true`"
    ),
    "draft.todo_scheme": Text("从配置中看不出；`selfhost recipe lint` 会列出可用的"),
    "draft.todo_loaded": Text("bytes_on_disk 减去引擎不加载的部分；未计算：文件大小与配置推算的不符"),
    "draft.todo_contradiction": Text("权重文件与配置对照：{sentence}"),
    "draft.todo_other_hub": Text("若 {hub} 以此 ID 存有相同的文件：请去查看"),
    "draft.todo_revision": Text("提交的 40 位十六进制数；模型仓库没有给出"),
    "draft.todo_parser_like": Text("与 {of} 相同；若该模型的对话模板写出同样的形式，就采用它"),
    "draft.todo_tool_call_parser": Text("用于能调用工具的模型，按其对话模板的写法选择；名称有误时检查器会给出最接近的"),
    "draft.todo_reasoning_parser": Text("用于先思考再回答的模型；不思考的模型不填"),
    "draft.todo_sampling": Text("模型卡上的取值；没有含这些值的 generation_config.json"),
    "draft.todo_check": Text("一个答案确定、且答案不出现在问题中的问题"),
    "draft.todo_source": Text("每一处事实来源的地址"),
    # 命令自身的输出
    "draft.left_line": Text("TODO {todo}"),
    "draft.next_lint": Text("下一步：selfhost recipe lint {path}"),
    "draft.next_plan": Text("下一步：selfhost plan {name}"),
    "draft.next_plan_elsewhere": Text("下一步：selfhost plan {name} --recipe-path {path}"),
    "draft.next_plan_variant": Text("下一步：selfhost plan {name} --variant {variant}"),
    "draft.made_of": Text(
        "其 README 称它由 `{base}` 制成，配方 `{recipe}` 已有后者：`--variant-of {recipe}` 可将它加入其中"
    ),
}
