"""The mask editor without a screen: concepts, strokes, undo, files. numpy and OpenCV only."""
