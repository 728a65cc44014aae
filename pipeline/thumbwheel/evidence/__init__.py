"""Evidence: what a candidate and the pairs behind it are worth, and who reads it.

- `asked`: which prompts the models answer, and what of it is shown.
- `answers`: what can be seen in answers, wherever they are from.
- `judges`: who says which of two answers is better.
- `likelihood`: what likelihoods of old answers tell.
- `plan`: what can be shown at all, before anything is trained.
- `evaluation`: the metrics of candidate, champion and base.
- `sealed`: the look at the held-out prompts.
- `budget`: what a look may spend.
- `gate`: the verdict, rule by rule.
- `review`: the evidence of a candidate as a card and a page.
- `audit`: what the pairs teach besides what people judged.
- `page`: how a page is made.
"""
