"""The entry points of the Lambda functions: worker, clock, dead_letters.

Powertools' batch module imports its pydantic models of every AWS event if pydantic is there already, which is a tenth of a cold
start that no handler here has a use for. So it comes first.
"""

import aws_lambda_powertools.utilities.batch  # noqa: F401
