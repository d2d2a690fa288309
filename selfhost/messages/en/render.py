"""Messages of `render`."""

from selfhost.messages import Text

MESSAGES = {
    "render.does_not_fit": Text(
        "nothing is rendered: {name} does not run on {hardware}",
        "{reasons}",
        "see what would fit: `selfhost plan {name} --on {hardware}`\nor render all the same: `--force`",
    ),
    "render.no_command": Text(
        "nothing is rendered: {name} cannot be started on {hardware}",
        "{reasons}",
        "see what would do: `selfhost plan {name} --matrix`",
    ),
    "render.bad_host": Text(
        "not an address that files can publish at: `{host}`",
        "names mean another machine elsewhere, and container engines take addresses only",
        "write the address: `--host 192.0.2.7`, or `--host 0.0.0.0` for all of the machine's",
    ),
    "render.low_port": Text(
        "port {port} of a machine is for root only, and nothing that is rendered runs as root",
        "here the server listens in the machine's own network; no container engine publishes it",
        "take one from 1024 on: `--port 8443`, behind what has {port} already",
    ),
    "render.odd_path": Text(
        "a path that container engines cannot mount: `{path}`",
        "`:` ends a path there, and a line ends it everywhere",
        "name another place: `{option} /srv/models`",
    ),
    "render.output_is_a_file": Text(
        "`--output` is a file: `{path}`",
        "several files are written, into a directory",
        "name a directory: `--output {path}.d`",
    ),
    "render.not_readable": Text(
        "what is in the directory already cannot be read: `{path}`",
        "{detail}",
        "run the command as its owner, or name another directory: `--output deploy`",
    ),
    "render.not_writable": Text(
        "cannot write to `{path}`",
        "{detail}",
        "make it writable for user {user}, or name another directory: `--output deploy`",
    ),
    "render.private_store": Text(
        "`{store}` is below a home directory, where the unit's user does not get to: name another place, "
        "`--store /srv/selfhost`"
    ),
    "render.replaced": Text("replaced, as they were different before: {paths}; `--check` shows how without writing"),
    "render.left_over": Text(
        "an earlier render wrote files that this one does not, and they are still there; when nothing needs them: "
        "`{command}`"
    ),
    "render.local_file": Text(
        "`{option} {path}` is a file of this machine: it is not rendered, mount it there as well"
    ),
    "render.template_not_here": Text(
        "`--chat-template {path}` is no file here and is not rendered: the engine looks for it where it runs, and "
        "among its own"
    ),
    "render.empty_template": Text(
        "the chat template is empty: `{path}`",
        "a model would get nothing of what it is asked",
        "name another one with `-- --chat-template FILE`, or leave it out for the model's own",
    ),
    "render.large_template": Text(
        "the chat template is too large for Kubernetes",
        "`kubectl apply` keeps it in an annotation, of at most {limit} KiB here",
        "name a smaller one with `-- --chat-template FILE`, or put it into an image and name its path there",
    ),
    "render.bad_template": Text(
        "the chat template cannot be read: `{path}`",
        "{detail}",
        "name a text file in UTF-8 with `-- --chat-template FILE`, or leave it out for the model's own",
    ),
    "render.bad_image": Text(
        "not the name of an image: `{image}`",
        "wanted: `registry/name:tag` or `registry/name@sha256:...`",
        "print the digest of one: `skopeo inspect --format '{{{{.Digest}}}}' docker://NAME:TAG`",
    ),
    "render.unknown_target": Text(
        "unknown target: `{target}`",
        "known: {targets}",
        "take one of them",
    ),
    "render.no_port": Text(
        "files need a port: `--port 0` means any free one",
        "the port is written into them",
        "name one: `--port 8000`",
    ),
    "render.relative_path": Text(
        "not an absolute path: `{path}`",
        "`{option}` is a place on the machines that run the files",
        "write it from the root: `{option} /srv/{path}`",
    ),
    "render.bad_name": Text(
        "not a name for a deployment: `{name}`",
        "wanted: lower-case letters, digits and `-`, a letter first, at most 63; not `vllm`, which makes Kubernetes "
        "set VLLM_PORT",
        "take another: `--name {suggestion}`",
    ),
    "render.not_stored": Text("`{name}` is not in the store here, nor its digest in the files: `selfhost pull {pull}`"),
    "render.forced": Text("the plan says that it does not fit on {hardware}: rendered all the same"),
    "render.tag_only": Text("`{image}` is named by a tag, which can be moved: name it by digest, `NAME@sha256:...`"),
    "render.no_probe": Text(
        "the other nodes cannot see whether the first one lives: with `--host 0.0.0.0` its gateway answers them"
    ),
    "render.exposed": Text("published on {address}, port {port}: others reach it, with an API key only"),
    "render.several_nodes": Text(
        "`k8s` is for one machine, and the plan of {name} needs {nodes}",
        "a Deployment cannot start pods as a group",
        "render a LeaderWorkerSet: `selfhost render k8s-lws {name} ...`",
    ),
    "render.one_node": Text(
        "`k8s-lws` is for several machines, and the plan of {name} needs one",
        "a LeaderWorkerSet of one pod is a Deployment with a controller to install",
        "render a Deployment: `selfhost render k8s {name} ...`",
    ),
    "render.bad_version": Text(
        "not a version of Kubernetes that files are rendered for: `{value}`",
        "the oldest: {oldest}",
        "name the oldest version of your clusters: `--cluster version=1.30`",
    ),
    "render.model_by_tag": Text(
        "the model's image has no digest: `{image}`",
        "nothing else in the files says which model it is, and a tag can be moved",
        "name it by digest: `--cluster image=NAME@sha256:...`; "
        "`skopeo inspect --format '{{{{.Digest}}}}' docker://{image}` prints it",
    ),
    "render.no_model_image": Text(
        "`storage=image` does not say which image has the model",
        "the pods mount it instead of a store",
        "name it by digest: `--cluster image=NAME@sha256:...`",
    ),
    "render.two_places": Text(
        "two places for one model: `{other}` and `image={image}`",
        "pods mount one of them",
        "leave one of them out",
    ),
    "render.no_image_volumes": Text(
        "Kubernetes {version} has no image volumes, and files work on that version unless another is named",
        "the first that has them: {first}",
        "name the oldest version of your clusters: `--cluster version=1.35`; or take a claim: `--cluster claim=NAME`",
    ),
    "render.image_of_clusters": Text(
        "`{target}` mounts no image with a model",
        "`--cluster image=...` is an image volume of Kubernetes",
        "leave it out: the model is taken from `--store` on the machines",
    ),
    "render.image_volume_gate": Text(
        "before Kubernetes {first} image volumes are switched off: API server and kubelets need the feature gate "
        "`ImageVolume`"
    ),
    "render.bad_cluster": Text(
        "`--cluster` does not take `{word}`",
        "known: `version=1.30`, `namespace=NAME`, `storage=claim`, `storage=host` or `storage=image`, `claim=NAME`, "
        "`image=NAME@sha256:...`, `uid=any`, `resource=nvidia.com/gpu`, `interface=eth0`",
        "write one of them: `--cluster namespace=llm`",
    ),
}
