package config

import "dragoman/internal/classify"

// classifier reads the weights that tell tasks apart, the built-in ones where none are named.
func (b *builder) classifier() {
	b.snap.Classifier = classify.Default()
	w := b.cfg.GetClassifier().GetWeights()
	if w == nil {
		return
	}
	const path = "classifier.weights.file"
	if w.File == "" {
		b.fail(path, "is missing: name the file that `dragoman train --out` has written")
		return
	}
	data, err := b.read(w.File, classify.MaxWeightsFile)
	if err != nil {
		b.fail(path, "the file %s", err)
		return
	}
	m, err := classify.Parse(w.File, data)
	if err != nil {
		b.fail(path, "%s", err)
		return
	}
	b.snap.Classifier = m
}
