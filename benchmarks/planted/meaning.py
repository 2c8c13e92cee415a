"""What was done and what the columns mean, for the report."""

from benchmarks.planted.settings import HELD_OUT_FROM

MEANING = f"""\
- **Settings** are drawn by seeds: cue parameters (size, place, width, opacity, ...), strength,
  class, images and initial weights. Data sets, cues and networks of the small suite are the same
  for every draw. Seeds below {HELD_OUT_FROM} were looked at while the tools were tuned; seeds from
  {HELD_OUT_FROM} on never were.
- **Biased**: trained on images whose cue agrees with the label with a probability of 0.7, 0.9,
  0.95 or 1 (*strength*). **Controls**: the *twin*, with the same images, weights and seed but
  without the cue, on the images that carry the cue and on clean ones.
- **Relies on the cue**: on held-out images the accuracy with the own class's cue is at least ten
  points above that with another class's (*reliance*). A biased classifier that does not is in no
  rate but "claims without reliance".
- **Images given to the finder**: at most 600 held-out ones, drawn as the training images were; no
  mask, no name, no twin.
- **Identified**: at least one claim. **Right claim**: of the right kind (part of the image or
  whole), and, for a cue with a place, pointing at it in half of the images that carry it. **False
  alarm**: any claim on a control.
- **Pairs in order**: the classifier is more suspicious than its twin on the same images: the
  larger lower bound of a claimed excess; any claim before none.
- **Pointing**: share of the images that carry the cue in which the maximum of the strongest
  claim's mask lies in the cue's region: the filled bounding box of its pixels, or, for a frame or
  background, the pixels themselves and a sixteenth of the side. Nothing found counts 0. **IoU**:
  overlap with that region.
- **Recovered**: (mended - biased) / (twin - biased), accuracy where the cue conflicts, at most 1;
  only gaps of at least five points. Mended: trained on for about ten seconds with the found
  components replaced by those of images of all classes, nothing else being told. Of held-out
  settings alone.
- **True concept found**, rank, precision@10, **untrue** (share of the reported findings that are
  not the planted cue): lists of concepts or slices on held-out images with the cue at strength
  0.7. A tag is the cue if its presence has a correlation of at least 0.5 with the cue's value; a
  slice of the mixture, if 80 % of its images carry a conflicting cue. Only classifiers that rely
  on the cue.
- **Heat-map concentration**: mass in the highest 0.5 % of the pixels; flagged above the 95 %
  quantile of the tuning controls of the same data set (of the same draw's own controls where no
  other was run, which favours it). **SpRAy**: clusters of maps with the fixed
  thresholds of ShortKit-ML 0.1.0. **Domino-style mixture**: features, labels and predictions in
  one mixture of 25 components.
- **Rare groups**: one class hardly ever has an attribute that half of the other images have.
  **Wrong labels**: a share of one class's training labels; ranked by a classifier on the features
  that did not see the image, and by the margin of the trained network.
- **Deletion, insertion**: area under the curve, probability of the predicted class, black and
  blurred fill; rows in italics are controls. **Mass lift**: share of the map's mass on the cue's
  pixels over their share of the image.
"""
