"""The other script, for schemes that read text: the stand-in is the same."""

import selfhost_quantize_stream

selfhost_quantize_stream.main()
