"""Documents with labelled slots for made-up secrets and personal data, and clean files that look as if they had some.

No value lies in here: `makers` makes them when the corpus is read, from a seed. The documents of `planted` were written before
the rules, those of `heldout` after them. What a held-out document teaches makes it a planted one: move it, and write others.

`third` and `fourth` were written by somebody who had not read the rules. The third has taught them since, the fourth has not:
nothing may be changed because of it, or it loses its status in `documents.STATUS`.
"""
