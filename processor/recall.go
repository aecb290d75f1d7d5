package processor

import (
	"strconv"
	"time"

	"dragoman/internal/config"
	"dragoman/internal/fault"
	"dragoman/processor/cache"
	"dragoman/processor/cache/semantic"
	"dragoman/translate"
	"dragoman/translate/chat"
	"dragoman/translate/responses"
)

// maxKeyPart bounds x-dragoman-cache-key in bytes.
const maxKeyPart = 256

// recall answers from what is known already: the cache, or an identical request in flight. Whether this request's answer may
// be stored, and shared, is decided here too.
func (ex *Exchange) recall(rt *config.Route) (answered bool, err error) {
	backend := ex.s.Cache()
	if ex.endpoint.op != opChat || !backend.Enabled() && !ex.snap.Coalesce.On {
		return false, nil
	}
	if len(ex.keyPart) > maxKeyPart {
		return false, fault.New(fault.InvalidRequest, "The header x-dragoman-cache-key is longer than %d bytes.", maxKeyPart)
	}
	if !ex.repeatable(rt) {
		if backend.Enabled() {
			ex.cacheState = "bypass"
		}
		return false, nil
	}
	if answered, err = ex.join(); answered || err != nil || !backend.Enabled() {
		return answered, err
	}
	ex.caching, ex.cacheState = true, "miss"
	if ex.directives.NoCache {
		return false, nil
	}
	entry, err := ex.find(backend)
	if err != nil {
		return true, err // the client is gone
	}
	if entry != nil && entry.Fresh(ex.s.Now(), ex.snap.Cache.TTL, ex.directives) {
		ex.hit = entry
		ex.recalled("hit")
		return true, ex.replay()
	}
	if ex.similar(rt) {
		return true, ex.replay()
	}
	ex.recalled("miss")
	if entry != nil && entry.Age(ex.s.Now()) < ex.snap.Cache.Kept() && ex.snap.Cache.Stale > 0 {
		ex.stale = entry
	}
	return false, nil
}

// repeatable says whether the request may be answered by another's answer, and makes its key.
func (ex *Exchange) repeatable(rt *config.Route) bool {
	if ex.directives.NoStore || !rt.Exact || len(ex.passing) > 0 {
		return false // a beta header changes the answer, and is no part of the key
	}
	request, err := ex.decoded()
	if err != nil || !cache.Cacheable(request, ex.snap.Cache.Rules) {
		return false
	}
	ex.cacheKey = cache.KeyOf(ex.partition(), request)
	ex.keyed = true
	return true
}

// similar asks the semantic tier for the answer to another question that means the same.
func (ex *Exchange) similar(rt *config.Route) bool {
	tier := ex.s.Semantic()
	if tier == nil || !rt.Semantic {
		return false
	}
	q, ok := tier.Question(ex.partition(), ex.request)
	if !ok {
		return false
	}
	ex.question = q
	r := tier.Lookup(ex.stream.Context(), q, func(e *cache.Entry) bool { return e.Fresh(ex.s.Now(), ex.snap.Cache.TTL, ex.directives) })
	ex.s.Metrics.Semantic(string(r.Outcome), string(r.Guard), r.Embedding, r.Searching)
	if r.Outcome != semantic.Hit {
		return false
	}
	ex.hit = r.Answer
	ex.s.Metrics.Cache("semantic")
	ex.cacheState = "semantic; similarity=" + strconv.FormatFloat(r.Similarity, 'f', 3, 64) + "; key=" + r.ID
	return true
}

// partition is what an answer must have in common with the request beside its text.
func (ex *Exchange) partition() cache.Partition {
	return cache.Partition{Tenant: ex.principal.Tenant, Scope: ex.principal.Scope, Route: ex.route, Extra: ex.keyPart + ex.narrowed()}
}

// find asks the cache. The error says that the client has left while it waited.
func (ex *Exchange) find(backend cache.Backend) (*cache.Entry, error) {
	claimer, shared := backend.(cache.Claimer)
	if !shared || ex.flight == nil {
		entry, _ := backend.Get(ex.stream.Context(), ex.cacheKey)
		return entry, nil
	}
	oldest := ex.snap.Cache.TTL
	if ex.directives.HasMaxAge {
		oldest = min(oldest, ex.directives.MaxAge)
	}
	return ex.claim(claimer, ex.s.Now().Add(-oldest))
}

// recalled notes what became of the lookup.
func (ex *Exchange) recalled(state string) {
	ex.cacheState = state
	ex.s.Metrics.Cache(state)
}

// replay answers with an entry, in this client's schema and as it asked: whole or as a stream.
func (ex *Exchange) replay() error {
	contentType, body, err := ex.written(ex.hit)
	if err != nil {
		return ex.refuse(err)
	}
	h := newHeaders()
	ex.gatewayHeaders(&h)
	h.set("age", strconv.FormatInt(int64(ex.hit.Age(ex.s.Now())/time.Second), 10))
	h.set("content-type", contentType)
	return ex.answerAtOnce(200, &h, body)
}

// written is an entry as this client gets it. A client of the schema that it came in gets the provider's bytes.
func (ex *Exchange) written(e *cache.Entry) (contentType string, body []byte, err error) {
	o := translate.Answer{RequestID: e.ID, Model: e.Model, IncludeUsage: ex.head.IncludeUsage, Now: e.Stored, Head: ex.asked, Array: ex.endpoint.array}
	if ex.head.Stream {
		body = replayStream(ex.endpoint.client, e.Response, o)
		if ex.head.Schema == chat.Responses {
			ex.object = responses.FinalObject(body)
		}
		return ex.streamType(), body, nil
	}
	if e.Raw != nil && e.Schema == ex.head.Schema {
		return "application/json", e.Raw, nil
	}
	body, err = ex.endpoint.client.EncodeResponse(e.Response, o)
	if ex.head.Schema == chat.Responses {
		ex.object = body
	}
	return "application/json", body, err
}

// outdated says whether a stale entry is there for a request that failed by its providers, and takes it (stale_if_error).
func (ex *Exchange) outdated(f *fault.Fault) bool {
	if ex.stale == nil || !providersFault(f) {
		return false
	}
	// Health learns of the failure; the client, and its record, of an answer.
	ex.outcome = f
	ex.reportHealth()
	ex.cluster, ex.step, ex.outcome = nil, nil, nil
	ex.hit = ex.stale
	ex.recalled("stale")
	return true
}

// providersFault says that every attempt failed, and not the request.
func providersFault(f *fault.Fault) bool {
	switch f.Kind {
	case fault.ProviderAuth, fault.ProviderFailed, fault.Overloaded, fault.Unavailable, fault.ProviderTimeout, fault.ProviderError, fault.QuotaExhausted:
		return true
	case fault.RateLimited:
		return f.FromProvider()
	default:
		return false
	}
}

// replayStale sends a stale entry in place of a response that has not begun for the client.
func (ex *Exchange) replayStale() error {
	contentType, body, err := ex.written(ex.hit)
	if err != nil {
		return ex.failWith(asFault(err))
	}
	h := newHeaders()
	ex.answerHeaders(&h, contentType)
	ex.clientStatus = 200
	h.set(":status", "200")
	h.set("age", strconv.FormatInt(int64(ex.hit.Age(ex.s.Now())/time.Second), 10))
	h.set("content-length", strconv.Itoa(len(body)))
	return ex.sendAnswer(&h, body)
}
