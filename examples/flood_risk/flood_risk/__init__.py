"""Flood risk of a village, computed on the nodes of Ellipsis Drive."""
