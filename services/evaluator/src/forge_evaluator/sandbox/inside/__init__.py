"""What runs inside the sandbox: standard library only, Python 3.9 and later, sent there as text.

Nothing in here knows an expected value; nothing in here is believed beyond the plain data it sends.
"""
