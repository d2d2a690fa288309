"""Options that several commands share; the names are the engine's own."""
