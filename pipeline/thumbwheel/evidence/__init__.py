"""Evidence: what a candidate and the pairs behind it are worth, and who reads it.

- `answers`: what can be measured of answers, and the guards on it.
- `evaluation`: the metrics of candidate, champion and base on held-out prompts.
- `budget`: what a look at the held-out prompts may spend.
- `gate`: the verdict, rule by rule.
- `review`: the evidence of a candidate as a card and a page.
- `judges`: who says which of two answers is better, and whether they may decide.
- `audit`: what the pairs teach besides what people judged.
- `page`: how a page is made.
"""
