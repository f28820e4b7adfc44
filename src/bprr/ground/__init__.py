"""Models, devices, swarms and caches: formulas and state that everything else stands on."""
