"""Other kinds of classifier, trained on the same rows as ours and evaluated by the same code.

A `contender.Contender` trains on the training rows and may stop early by the validation rows; it never sees a test row.
`comparison.compare` trains all of them and scales the logits of each by a temperature fitted on the validation rows.

`comparison.json`. Shares are 0 to 1, floats are rounded to 6 digits, figures are means over the seeds:

    {"command": str, "rows": {split: {"rows": n, "found": n, "judged": n}}, "notes": [str],  # changes made to the rows
     "labels": [str], "truth": "votes" | "label",
     "seeds": [int], "libraries": {name: version},
     "contenders": [{"name": str, "about": str, "learned_from": str,
                     "ran": bool, "why_not": str | null,     # all that follows is null if it did not run
                     "parameters": int,                      # that were learned
                     "bytes": int,                           # of these as 32-bit numbers
                     "seconds": float,                       # training time
                     "seeds": int,                           # number of trainings; 1 if it does not depend on a seed
                     "validation": {"accuracy": a,           # missed faces are errors
                                    "accuracy_interval": [lo, hi],  # 95 %, bootstrap over people and pictures
                                    "accuracy_found": a, "macro_f1": f, "ece": e},
                     "test": {...},                          # the same
                     "deviation": null                       # standard deviation over the seeds; null for one seed
                                  | {"validation": {"accuracy": d, "accuracy_found": d, "macro_f1": d, "ece": d},
                                     "test": {...}}}]}
"""
