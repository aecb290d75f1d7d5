package processor

import (
	"strconv"

	"dragoman/internal/fault"
	"dragoman/internal/wiring"
	"dragoman/translate/chat"
	"dragoman/translate/openai"
)

// maxUploadHead is how much of an upload is held while its model is looked for.
const maxUploadHead = 64 << 10

// upload is a body that is passed on as it comes. At most its head is held here; what flows behind is bounded by Envoy's own buffers,
// because the client is not read from while the provider does not take.
type upload struct {
	contentType string
	length      int64 // content-length, -1 when it has none
	got         int64
	head        []byte
	form        *openai.Form // once the request is ordered
	ended       bool
}

// beginUpload waits for the head of an upload.
func (ex *Exchange) beginUpload(r incoming, last bool) error {
	u := &upload{contentType: r.contentType, length: -1}
	if r.contentLength != "" {
		n, err := strconv.ParseInt(r.contentLength, 10, 64)
		if err != nil || n < 0 {
			return ex.refuse(fault.New(fault.InvalidRequest, "The header content-length is no number of bytes."))
		}
		u.length = n
	}
	switch {
	case u.length > ex.snap.Limits.MaxUpload:
		return ex.refuse(ex.uploadTooLarge())
	case last:
		return ex.refuse(fault.New(fault.InvalidRequest, "The request has no body: send multipart/form-data."))
	}
	ex.upload = u
	ex.armUpload()
	return nil
}

// armUpload gives the client limits.upload_timeout for its next piece.
func (ex *Exchange) armUpload() {
	ex.arm(ex.snap.Limits.UploadTimeout, func() {
		_ = ex.refuse(fault.New(fault.UploadTimeout, "No data of the request's body has arrived for %s.", ex.snap.Limits.UploadTimeout))
	})
}

func (ex *Exchange) uploadTooLarge() *fault.Fault {
	return fault.New(fault.TooLarge, "The upload is larger than the %d bytes that this gateway takes (limits.max_upload_bytes).", ex.snap.Limits.MaxUpload)
}

// onUpload takes the next piece of an upload.
func (ex *Exchange) onUpload(piece []byte, last bool) error {
	u := ex.upload
	if u.ended {
		return nil
	}
	if u.got += int64(len(piece)); u.got > ex.snap.Limits.MaxUpload {
		return ex.refuse(ex.uploadTooLarge())
	}
	if u.form != nil {
		return ex.relay(piece, last)
	}
	u.head = append(u.head, piece...)
	if len(u.head) < maxUploadHead && !last {
		ex.armUpload()
		return nil
	}
	if err := ex.orderUpload(last); err != nil {
		return ex.refuse(err)
	}
	return nil
}

// relay passes a piece on. Once the provider answers, its own timer runs.
func (ex *Exchange) relay(piece []byte, last bool) error {
	if ex.phase == ordered {
		ex.armUpload()
	}
	out, err := ex.upload.form.Write(make([]byte, 0, len(piece)+128), piece)
	if err == nil && last {
		err = ex.upload.form.Close()
	}
	if err == nil {
		err = ex.lateModel()
	}
	if err != nil {
		return ex.refuse(err)
	}
	if last {
		ex.upload.ended = true
		if ex.phase == ordered {
			ex.disarm()
		}
		return ex.sendLast(out)
	}
	if len(out) == 0 {
		return nil
	}
	return ex.send(requestBody(out, false))
}

// sendLast ends the request's body.
func (ex *Exchange) sendLast(body []byte) error {
	if err := ex.send(requestBody(body, !ex.trailers)); err != nil || !ex.trailers {
		return err
	}
	return ex.send(requestTrailers())
}

// lateModel judges a model that stands behind the head, where no default was changed by it: a key that may use certain models only must not
// reach another one so, nor one that a rule is about.
func (ex *Exchange) lateModel() error {
	name, found := ex.upload.form.Model()
	if !found || ex.head.Model != "" || !restricted(ex.principal) && !ex.ruledByModel() {
		return nil
	}
	return fault.Invalid("model", "The field model stands too late in the body to be read: send it before the file. It was %s.", clip(name))
}

// orderUpload reads the head and sends it on its way.
func (ex *Exchange) orderUpload(last bool) error {
	u := ex.upload
	if err := ex.readHead(); err != nil {
		return err
	}
	rt, err := ex.reachable(ex.permitPass())
	if err != nil {
		return err
	}
	if rt, err = ex.rule(rt); err != nil {
		return err
	}
	if err := ex.reserve(); err != nil {
		return err
	}
	if err := ex.choose(rt); err != nil {
		return err
	}
	if err := ex.afford(); err != nil {
		return err
	}
	ex.decision.Plan = ex.decision.Plan[:1] // of what has been passed on nobody keeps a copy
	step := &ex.decision.Plan[0]
	edit := openai.FormEdit{Model: step.Model.ID}
	if ex.endpoint.pass.object != "" {
		edit.Model, edit.Mark = "", ex.mark()
	}
	if u.form, err = openai.NewForm(u.contentType, edit); err != nil {
		return err
	}
	head, rest := u.split()
	out, err := u.form.Write(make([]byte, 0, len(u.head)+256), head)
	if err != nil {
		return err
	}
	u.form.Commit()
	grown := len(out) + u.form.Held() - len(head)
	if out, err = u.form.Write(out, rest); err == nil && last {
		err = u.form.Close()
	}
	if err == nil {
		err = ex.lateModel()
	}
	if err != nil {
		return err
	}
	u.head = nil
	h := newHeaders()
	h.set(":path", step.Provider.BasePath+ex.endpoint.pass.path)
	if u.length >= 0 {
		h.set("content-length", strconv.FormatInt(u.length+int64(grown), 10))
	}
	if err := ex.orderPass(&h, wiring.OrderedStream); err != nil {
		return err
	}
	u.ended = last
	if last {
		ex.disarm()
		return ex.sendLast(out)
	}
	ex.armUpload()
	return ex.send(requestBody(out, false))
}

// split divides what has come at the head's end: one piece may hold more, and what is found must not depend on how the body was cut.
func (u *upload) split() (head, rest []byte) {
	n := min(len(u.head), maxUploadHead)
	return u.head[:n], u.head[n:]
}

// readHead looks for the model.
func (ex *Exchange) readHead() error {
	look, err := openai.NewForm(ex.upload.contentType, openai.FormEdit{})
	if err != nil {
		return err
	}
	head, _ := ex.upload.split()
	_, err = look.Write(make([]byte, 0, len(head)), head)
	ex.head = &chat.Head{Schema: chat.OpenAI, N: 1}
	ex.head.Model, _ = look.Model()
	ex.asked = ex.head
	return err
}

// orderPass orders what goes to one provider alone; h has its path and what else of headers changes.
func (ex *Exchange) orderPass(h *headers, ordering string) error {
	ex.id = ex.s.NewID()
	ex.s.exchanges.add(ex)
	if ex.endpoint.op != opCheck {
		ex.begin(&ex.decision.Plan[0])
	}
	ex.phase = ordered
	h.set(wiring.HeaderOrdered, ordering)
	h.set(wiring.HeaderMaxRetries, "0")
	return ex.send(ex.orderedBy(h))
}
