"""From a finished run to files for other programs and for chips: ONNX and C, each judged before it is published."""
