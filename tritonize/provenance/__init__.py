"""Where a version comes from and who vouches for it: signatures, in-toto statements and bills of materials.

All three are made of a version's manifest and lie outside the model repository, since a polling Triton reloads what changes there.
"""
