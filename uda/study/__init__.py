"""A bake-off of strategies on the user's own data: folds, statistics, a verdict."""
