"""Words that everything knows: errors, settings, methods, versions. No torch."""
