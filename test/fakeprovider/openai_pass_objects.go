package fakeprovider

import (
	"encoding/json"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// objectStore holds the files and batches of one account, the oldest first.
type objectStore struct {
	mu      sync.Mutex
	files   []map[string]any
	content map[string][]byte
	batches []map[string]any
}

// Objects are the ids that the vendor gave to files and batches, and the names of the files.
func (s *Server) Objects() (ids, names []string) {
	v, ok := s.vendor.(*openai)
	if !ok {
		return nil, nil
	}
	v.store.mu.Lock()
	defer v.store.mu.Unlock()
	for _, f := range slices.Concat(v.store.files, v.store.batches) {
		ids = append(ids, str(f["id"]))
		if f["filename"] != nil {
			names = append(names, str(f["filename"]))
		}
	}
	return ids, names
}

func jsonAnswer(v any) *passAnswer {
	return &passAnswer{media: "application/json", body: mustJSON(v)}
}

func (q *passRequest) noSuch(kind string) *apiError {
	return &apiError{status: http.StatusNotFound, kind: "invalid_request_error", param: "id", message: "No such " + kind + " object: " + q.id}
}

var purposes = strings.Fields("assistants batch fine-tune vision user_data evals")

func (q *passRequest) newFile() (*passAnswer, *apiError) {
	f := q.files["file"]
	if f == nil {
		return nil, invalid("file", "missing_required_parameter", "Missing required parameter: 'file'.")
	}
	if e := known(q.form, "purpose", "expires_after expires_after[anchor] expires_after[seconds]"); e != nil {
		return nil, e
	}
	purpose := q.form["purpose"][0]
	if !slices.Contains(purposes, purpose) {
		return nil, invalid("purpose", "invalid_value", "Invalid value: '%s'.", purpose)
	}
	if purpose == "batch" && !strings.HasSuffix(f.name, ".jsonl") {
		return nil, invalid("file", "", "Invalid file format for Batch API. Must be .jsonl")
	}
	return jsonAnswer(q.store.add(q.answer.make("file-"), f.name, purpose, f.content, q.answer.created)), nil
}

func (s *objectStore) add(id, name, purpose string, content []byte, created int64) map[string]any {
	file := map[string]any{"id": id, "object": "file", "bytes": len(content), "created_at": created, "filename": name, "purpose": purpose, "status": "processed"}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.content == nil {
		s.content = map[string][]byte{}
	}
	s.files = append(s.files, file)
	s.content[id] = content
	return file
}

func find(list []map[string]any, id string) int {
	return slices.IndexFunc(list, func(o map[string]any) bool { return o["id"] == id })
}

func (q *passRequest) file() (*passAnswer, *apiError) {
	q.store.mu.Lock()
	defer q.store.mu.Unlock()
	if i := find(q.store.files, q.id); i >= 0 {
		return jsonAnswer(q.store.files[i]), nil
	}
	return nil, q.noSuch("File")
}

func (q *passRequest) deleteFile() (*passAnswer, *apiError) {
	q.store.mu.Lock()
	defer q.store.mu.Unlock()
	i := find(q.store.files, q.id)
	if i < 0 {
		return nil, q.noSuch("File")
	}
	q.store.files = slices.Delete(q.store.files, i, i+1)
	delete(q.store.content, q.id)
	return jsonAnswer(map[string]any{"id": q.id, "object": "file", "deleted": true}), nil
}

func (q *passRequest) fileContent() (*passAnswer, *apiError) {
	q.store.mu.Lock()
	defer q.store.mu.Unlock()
	if content, ok := q.store.content[q.id]; ok {
		return &passAnswer{media: "application/octet-stream", body: content}, nil
	}
	return nil, q.noSuch("File")
}

func (q *passRequest) listFiles() (*passAnswer, *apiError) {
	if e := known(q.query, "", "after limit order purpose"); e != nil {
		return nil, e
	}
	q.store.mu.Lock()
	defer q.store.mu.Unlock()
	var all []map[string]any
	for _, f := range q.store.files {
		if p := q.query["purpose"]; p == nil || p[0] == f["purpose"] {
			all = append(all, f)
		}
	}
	return q.page(all, 10_000, 10_000)
}

func (q *passRequest) listBatches() (*passAnswer, *apiError) {
	if e := known(q.query, "", "after limit"); e != nil {
		return nil, e
	}
	q.store.mu.Lock()
	defer q.store.mu.Unlock()
	return q.page(slices.Clone(q.store.batches), 20, 100)
}

// page is a part of a list, the newest first unless order says otherwise.
func (q *passRequest) page(all []map[string]any, limit, most int) (*passAnswer, *apiError) {
	if l := q.query["limit"]; l != nil {
		n, err := strconv.Atoi(l[0])
		if err != nil || n < 1 || n > most {
			return nil, invalid("limit", "", "Invalid 'limit'.")
		}
		limit = n
	}
	if o := q.query["order"]; o == nil || o[0] == "desc" {
		slices.Reverse(all)
	}
	if a := q.query["after"]; a != nil {
		i := find(all, a[0])
		if i < 0 {
			return nil, invalid("after", "", "No such object: %s", a[0])
		}
		all = all[i+1:]
	}
	more := len(all) > limit
	all = all[:min(limit, len(all))]
	out := map[string]any{"object": "list", "data": all, "has_more": more, "first_id": nil, "last_id": nil}
	if all == nil {
		out["data"] = []any{}
	}
	if n := len(all); n > 0 {
		out["first_id"], out["last_id"] = all[0]["id"], all[n-1]["id"]
	}
	return jsonAnswer(out), nil
}

func (q *passRequest) newBatch() (*passAnswer, *apiError) {
	if e := known(q.object, "input_file_id endpoint completion_window", "metadata output_expires_after"); e != nil {
		return nil, e
	}
	metadata := obj(q.object["metadata"])
	if len(metadata) > 16 {
		return nil, invalid("metadata", "object_above_max_properties", "Invalid 'metadata': too many properties.")
	}
	for name, value := range metadata {
		if s, ok := value.(string); !ok || len(name) > 64 || len(s) > 512 {
			return nil, invalid("metadata."+name, "invalid_type", "Invalid type for 'metadata.%s'.", name)
		}
	}
	q.store.mu.Lock()
	defer q.store.mu.Unlock()
	i := find(q.store.files, str(q.object["input_file_id"]))
	switch {
	case i < 0 || q.store.files[i]["purpose"] != "batch":
		return nil, invalid("input_file_id", "", "Invalid file: %s", str(q.object["input_file_id"]))
	case q.object["completion_window"] != "24h":
		return nil, invalid("completion_window", "", "Invalid completion_window")
	}
	batch := map[string]any{"id": q.answer.make("batch_"), "object": "batch", "endpoint": q.object["endpoint"], "errors": nil,
		"input_file_id": q.object["input_file_id"], "completion_window": "24h", "status": "validating", "output_file_id": nil,
		"error_file_id": nil, "created_at": q.answer.created, "metadata": q.object["metadata"],
		"request_counts": map[string]any{"total": json.Number("0"), "completed": json.Number("0"), "failed": json.Number("0")}}
	q.store.batches = append(q.store.batches, batch)
	return jsonAnswer(batch), nil
}

// batch shows a batch, which is then completed unless it was cancelled.
func (q *passRequest) batch() (*passAnswer, *apiError) {
	q.store.mu.Lock()
	i := find(q.store.batches, q.id)
	if i < 0 {
		q.store.mu.Unlock()
		return nil, q.noSuch("Batch")
	}
	b := q.store.batches[i]
	done := b["status"] == "validating"
	q.store.mu.Unlock()
	if done {
		out := q.store.add(q.answer.make("file-out"), q.id+"_output.jsonl", "batch_output", []byte("{\"custom_id\":\"1\"}\n"), q.answer.created)
		q.store.mu.Lock()
		b["status"], b["output_file_id"] = "completed", out["id"]
		q.store.mu.Unlock()
	}
	q.store.mu.Lock()
	defer q.store.mu.Unlock()
	return jsonAnswer(b), nil
}

func (q *passRequest) cancelBatch() (*passAnswer, *apiError) {
	q.store.mu.Lock()
	defer q.store.mu.Unlock()
	i := find(q.store.batches, q.id)
	if i < 0 {
		return nil, q.noSuch("Batch")
	}
	q.store.batches[i]["status"] = "cancelling"
	return jsonAnswer(q.store.batches[i]), nil
}
