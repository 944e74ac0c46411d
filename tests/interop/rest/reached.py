"""Shows which answers each operation gave, and fails where one never succeeded or the limits of rate dominated: nothing
would have been tested then.

    reached.py OPENAPI-URL ANSWERS-FILE
"""

import json
import sys
import urllib.request

# Percent of all answers.
TOO_MANY_REQUESTS_MAX = 5
# These need an identity provider, which the suite oidc has.
ELSEWHERE = {"begin_provider_sign_in", "finish_provider_sign_in", "provider_logout"}
METHODS = {"get", "post", "put", "patch", "delete"}


def main(url, path):
    with urllib.request.urlopen(url, timeout=10) as answer:
        paths = json.load(answer)["paths"]
    with open(path, encoding="utf-8") as file:
        answers = json.load(file)
    operations = [item[method]["operationId"] for item in paths.values() for method in item if method in METHODS]
    print(f"{'operation':26}{'cases':>7}{'2xx':>7}  answers")
    unreached, limited, total = [], 0, 0
    for operation in operations:
        counts = {int(status): count for status, count in sorted(answers.get(operation, {}).items())}
        cases, reached = sum(counts.values()), sum(count for status, count in counts.items() if status < 300)
        limited, total = limited + counts.get(429, 0), total + cases
        print(f"{operation:26}{cases:7}{reached:7}  " + " ".join(f"{status}:{count}" for status, count in counts.items()))
        if not reached and operation not in ELSEWHERE:
            unreached.append(operation)
    print(f"{'all':26}{total:7}")
    if unreached:
        sys.exit(f"never reached: {', '.join(unreached)}")
    if limited * 100 > total * TOO_MANY_REQUESTS_MAX:
        sys.exit(f"{limited} of {total} answers were 429")


main(*sys.argv[1:])
