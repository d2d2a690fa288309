"""A plan, or many, as a sheet for people who buy hardware: SVG and HTML that need no network; nothing here writes."""
