package train

import (
	"testing"

	"dragoman/internal/classify"
)

func TestTasksOfPromptsThatNobodyTrainedOn(t *testing.T) {
	rows, err := ReadRows("testdata/tasks_test.jsonl", Fields{})
	if err != nil {
		t.Fatal(err)
	}
	right := 0
	for i := range rows {
		r := classify.Default().Classify(rows[i].Text)
		if r.Task == rows[i].Task {
			right++
		} else {
			t.Logf("%s taken for %s (%.2f): %.70q", rows[i].Task, r.Task, r.Confidence, rows[i].Text.User)
		}
	}
	accuracy := float64(right) / float64(len(rows))
	t.Logf("%d of %d right: %.2f", right, len(rows), accuracy)
	if accuracy < 0.8 {
		t.Errorf("accuracy %.2f is below 0.8", accuracy)
	}
}
