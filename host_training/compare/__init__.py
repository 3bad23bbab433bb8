"""Other kinds of classifier, trained on the same rows as ours and evaluated by the same code.

A `contender.Contender` trains on the training rows and may stop early by the validation rows; it never sees a test row.
`comparison.compare` trains all of them and scales the logits of each by a temperature fitted on the validation rows.
"""
