"""Why a decision came out as it did: every policy looked at, which part of it was false, and with which values.

Nothing here decides. The verdict is `decide`'s own, and each part is put to Cedar itself; only which part is reached
at all (`&&`, `||`, `if`) is told from the tree.
"""
