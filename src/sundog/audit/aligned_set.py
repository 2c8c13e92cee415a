"""The images of a subject, labelled as its classifier numbers the classes."""

from __future__ import annotations

from sundog.audit.subject import Subject
from sundog.data.image_set import ImageSet


def aligned_set(subject: Subject) -> ImageSet:
    """Return the image set with the classifier's labels and class names."""
    names = subject.classifier.class_names or subject.class_names
    return subject.image_set.relabelled(subject.labels, names)
