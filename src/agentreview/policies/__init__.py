"""Policy files to checks over facts, and the comparison of before and after."""
