"""The node program: it runs inside a compute's environment, under that environment's interpreter (3.9 and later).

It imports nothing of ellipsis_local, and at start only the standard library, numpy and affine. `records` and
`values` are shared with the calling process, which imports them from here, so that both ends speak the same language.
"""
