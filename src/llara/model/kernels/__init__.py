"""Speed-ups for certain processors; the public library's function is the fallback of each."""
