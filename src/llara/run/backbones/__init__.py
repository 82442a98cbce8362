"""Pretrained models: where they are to be had, fetching them, and what can be known of one before it is used."""
