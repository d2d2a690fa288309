"""Where a model can be had: hubs, mirrors, directories; what each lists, what serving needs, which one answers."""
