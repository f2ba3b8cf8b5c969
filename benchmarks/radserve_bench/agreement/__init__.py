"""Whether three load generators find the same: `radserve bench`'s own, locust and aiperf, one after another.

Each puts the same closed load on the same server: one CT slice a question, inline as the PNG that the model sees,
answers of the same length. No picture is sent twice in a whole run, by whichever generator. Rounds alternate their
order; a first one, of our own generator, warms the server and is not kept. What is compared are the medians of TTFT
and of ITL within each round.
"""
