"""`selfhost mirror serve`: what the store has, over HTTP and read-only, as the programs of other machines ask for it.

    /api/models/..., /<id>/resolve/<revision>/<path>    the part of the Hugging Face hub that its client and vLLM use
    /<id>/SHA256SUMS, /<id>/selfhost-model.json, /<id>/<path>    plain files, for `selfhost pull --source`, curl, rsync
    /simple/<project>/                                  wheels, as pip wants an index (PEP 503, 691, 658)
    /health                                             that it runs; the only one that never asks for a key

<id> is the hub id that a model came from, `<recipe>/<variant>`, or `selfhost/<recipe>` with the variant as revision.

No path of a request is a path of the file system: it is looked up in what the locks list, and the content is opened
under its digest, if nobody wrote to it since. Nothing of the store is changed here.
"""
