"""The step log: columns, rules, arrays, statistics of segments, and credit for its steps."""
