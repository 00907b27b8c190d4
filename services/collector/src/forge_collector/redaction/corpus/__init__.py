"""Documents with labelled slots for made-up secrets and personal data, and clean files that look as if they had some.

No value lies in here: `makers` makes them when the corpus is read, from a seed. The documents of `planted` were written before
the rules, those of `heldout` after them. What a held-out document teaches makes it a planted one: move it, and write others.

`third` was written by somebody who had not read the rules, `fourth` by somebody who had, but before it was measured. All four
have taught the rules since: `documents.STATUS` says what each scored at first sight, which is nearer to what text of a new kind
will score than what they score now.
"""
