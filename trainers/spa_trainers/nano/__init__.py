"""nano: a small model made from nothing, so that everything runs on two CPU cores.

tokenizer   its words, taken from the tasks it is made for
model       its architecture, freshly initialised
"""
