"""Other kinds of classifier, trained on the same rows as ours and judged by the same code.

A `contender.Contender` learns from the training rows and may be stopped by the validation rows; it never sees a test
row. `comparison.compare` trains them all and calibrates each with a temperature on the validation rows.

`comparison.json`, all shares 0..1, all floats rounded to 6 digits, of means over the seeds:

    {"command": str, "rows": {split: {"rows": n, "found": n, "judged": n}}, "notes": [str],  # what was done to the rows
     "labels": [str], "truth": "votes" | "label",
     "seeds": [int], "libraries": {name: version},
     "contenders": [{"name": str, "about": str, "learned_from": str,
                     "ran": bool, "why_not": str | null,     # from here on null where it did not run
                     "parameters": int,                      # learned numbers
                     "bytes": int,                           # of them as 32-bit numbers
                     "seconds": float,                       # of training
                     "seeds": int,                           # how often it was trained; 1 where chance plays no part
                     "validation": {"accuracy": a,           # missed faces are errors
                                    "accuracy_interval": [lo, hi],  # 95 %, bootstrap over persons and pictures
                                    "accuracy_found": a, "macro_f1": f, "ece": e},
                     "test": {...},                          # likewise
                     "deviation": null                       # standard deviation over the seeds; of one seed null
                                  | {"validation": {"accuracy": d, "accuracy_found": d, "macro_f1": d, "ece": d},
                                     "test": {...}}}]}
"""
