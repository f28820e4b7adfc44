"""Swarms as they run today: pace, what-ifs, and their check on others' measurements."""
