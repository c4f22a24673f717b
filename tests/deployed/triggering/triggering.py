"""The examples of what starts runs, as one app: what `test_trigger_examples.py` deploys."""

from github_webhook import triage
from nightly import hatchet, report
from onboarding import assign_person, welcome
from s3_upload import ingest
from search_index import index

hatchet.worker("rest", workflows=[report, welcome, assign_person, index, ingest, triage])
