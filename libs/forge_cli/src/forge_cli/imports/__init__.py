"""Files of other systems cut into records and sent to the collector. What a record means is the collector's business."""
