"""Person and part detectors, their data and their trainer."""

from parsing.configs import Table

PERSON_DETECTORS: Table = {
    "cascade_rcnn": "detectors.persons:PersonDetectorConfig",
    "faster_rcnn": "detectors.persons:PersonDetectorConfig",
    "retinanet": "detectors.persons:PersonDetectorConfig",
    "gfl": "detectors.persons:PersonDetectorConfig",
    "ensemble": "detectors.ensemble:EnsemblePersonsConfig",
    "onnx": "detectors.adapters.onnx_persons:OnnxPersonsConfig",
    "mmdet": "detectors.adapters.mmdet:MMDetPersonsConfig",
    "transformers": "detectors.adapters.transformers:TransformersPersonsConfig",
    "ultralytics": "detectors.adapters.ultralytics:UltralyticsPersonsConfig",
    "oracle": "parsing.recorded.configs:RecordedPersonsConfig",
    "replay": "parsing.recorded.configs:RecordedPersonsConfig",
}
PART_DETECTORS: Table = {
    "cascade_rcnn": "detectors.parts:PartDetectorConfig",
    "faster_rcnn": "detectors.parts:PartDetectorConfig",
    "retinanet": "detectors.parts:PartDetectorConfig",
    "gfl": "detectors.parts:PartDetectorConfig",
    "keypoints": "detectors.parts:KeypointPartsConfig",
    "ensemble": "detectors.ensemble:EnsemblePartsConfig",
    "mmdet": "detectors.adapters.mmdet:MMDetPartsConfig",
    "oracle": "parsing.recorded.configs:RecordedPartsConfig",
    "replay": "parsing.recorded.configs:RecordedPartsConfig",
}
POSE_ESTIMATORS: Table = {
    "onnx": "detectors.adapters.onnx_poses:OnnxPoseConfig",
    "mmpose": "detectors.adapters.mmpose:MMPoseConfig",
    "transformers": "detectors.adapters.transformers:TransformersPoseConfig",
    "ultralytics": "detectors.adapters.ultralytics:UltralyticsPoseConfig",
    "oracle": "parsing.recorded.configs:RecordedPosesConfig",
    "replay": "parsing.recorded.configs:RecordedPosesConfig",
}
TRACKERS: Table = {
    "bytetrack": "detectors.trackers:ByteTrackConfig",
    "ocsort": "detectors.trackers:OCSortConfig",
    "botsort": "detectors.trackers:BoTSortConfig",
    "cbiou": "detectors.trackers:CBIoUConfig",
    "oracle": "parsing.recorded.configs:RecordedTracksConfig",
    "replay": "parsing.recorded.configs:RecordedTracksConfig",
}
