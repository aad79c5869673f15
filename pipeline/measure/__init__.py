"""Numbers about classifiers and raters: pure functions of arrays, which import nothing of ours."""
