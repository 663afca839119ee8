"""The processes that own a run or a model: training and drawing."""
