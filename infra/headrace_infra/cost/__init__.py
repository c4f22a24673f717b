"""What a workload costs: every AWS request counted with its billed units, and priced by a dated table."""
