package fakeprovider

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"slices"
	"strings"
	"time"
)

// AWSKey is a credential for signing (SigV4), and the region that signatures must name.
type AWSKey struct{ ID, Secret, Session, Region string }

// DefaultAWSKey is what a Bedrock fake expects when Options.AWS is nil: the example of AWS's own documentation.
var DefaultAWSKey = AWSKey{ID: "AKIDEXAMPLE", Secret: "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", Region: "eu-central-1"}

const (
	signingAlgorithm = "AWS4-HMAC-SHA256"
	amzTime          = "20060102T150405Z"
	maxSkew          = 5 * time.Minute
)

func notSigned(kind, message string) *apiError {
	return &apiError{status: http.StatusForbidden, kind: kind, message: message}
}

const badSignature = "The request signature we calculated does not match the signature you provided. Check your AWS Secret Access Key and signing method. Consult the service documentation for details."

// signedRequest is what an Authorization header of SigV4 says.
type signedRequest struct {
	key, date, region, service, end string
	headers                         []string
	signature                       string
}

func parseAuthorization(v string) (s signedRequest, ok bool) {
	rest, ok := strings.CutPrefix(v, signingAlgorithm+" ")
	if !ok {
		return s, false
	}
	for field := range strings.SplitSeq(rest, ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(field), "=")
		switch name {
		case "Credential":
			scope := strings.Split(value, "/")
			if len(scope) != 5 {
				return s, false
			}
			s.key, s.date, s.region, s.service, s.end = scope[0], scope[1], scope[2], scope[3], scope[4]
		case "SignedHeaders":
			s.headers = strings.Split(value, ";")
		case "Signature":
			s.signature = value
		default:
			return s, false
		}
	}
	return s, s.key != "" && s.signature != "" && len(s.headers) > 0
}

// verify recomputes the signature of a request with its body, as the service does.
func (k *AWSKey) verify(hr *http.Request, body []byte, now time.Time) *apiError {
	s, ok := parseAuthorization(hr.Header.Get("Authorization"))
	if !ok {
		return notSigned("IncompleteSignatureException", "Authorization header requires 'Credential', 'SignedHeaders' and 'Signature' parameters.")
	}
	stamp := hr.Header.Get("X-Amz-Date")
	at, err := time.Parse(amzTime, stamp)
	hash := sha256.Sum256(body)
	switch {
	case s.key != k.ID || hr.Header.Get("X-Amz-Security-Token") != k.Session:
		return notSigned("UnrecognizedClientException", "The security token included in the request is invalid.")
	case err != nil || s.date != stamp[:8]:
		return notSigned("IncompleteSignatureException", "Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP")
	case s.region != k.Region || s.service != "bedrock" || s.end != "aws4_request":
		return notSigned("InvalidSignatureException", "Credential should be scoped to a valid region and service.")
	case now.Sub(at).Abs() > maxSkew:
		return notSigned("InvalidSignatureException", "Signature expired or not yet current: "+stamp)
	case !slices.IsSorted(s.headers) || !signsAll(s.headers, hr.Header):
		return notSigned("InvalidSignatureException", badSignature)
	}
	if h := hr.Header.Get("X-Amz-Content-Sha256"); h != "" && h != hex.EncodeToString(hash[:]) {
		return notSigned("InvalidSignatureException", "The provided 'x-amz-content-sha256' header does not match what was computed.")
	}
	canonical := canonicalRequest(hr, s.headers, hash)
	sum := sha256.Sum256([]byte(canonical))
	text := strings.Join([]string{signingAlgorithm, stamp, s.date + "/" + s.region + "/" + s.service + "/" + s.end, hex.EncodeToString(sum[:])}, "\n")
	if want := hex.EncodeToString(keyed(k.signingKey(&s), text)); !hmac.Equal([]byte(want), []byte(s.signature)) {
		return notSigned("InvalidSignatureException", badSignature)
	}
	return nil
}

// signsAll: host and every x-amz header must be signed.
func signsAll(signed []string, h http.Header) bool {
	for name := range h {
		if name = strings.ToLower(name); strings.HasPrefix(name, "x-amz-") && !slices.Contains(signed, name) {
			return false
		}
	}
	return slices.Contains(signed, "host") && slices.Contains(signed, "x-amz-date")
}

// canonicalRequest: the path as it came is encoded once more (every service but S3), so that %3A becomes %253A.
func canonicalRequest(hr *http.Request, signed []string, hash [sha256.Size]byte) string {
	var b strings.Builder
	b.WriteString(hr.Method + "\n" + encodePath(hr.URL.EscapedPath()) + "\n" + hr.URL.RawQuery + "\n")
	for _, name := range signed {
		value := strings.Join(hr.Header.Values(name), ",")
		switch name {
		case "host":
			value = hr.Host
		case "content-length":
			value = hr.Header.Get("Content-Length")
		}
		b.WriteString(name + ":" + strings.Join(strings.Fields(value), " ") + "\n")
	}
	b.WriteString("\n" + strings.Join(signed, ";") + "\n" + hex.EncodeToString(hash[:]))
	return b.String()
}

func encodePath(path string) string {
	var b strings.Builder
	for i := range len(path) {
		c := path[i]
		if c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.IndexByte("-._~/", c) >= 0 {
			b.WriteByte(c)
		} else {
			b.WriteString("%" + strings.ToUpper(hex.EncodeToString([]byte{c})))
		}
	}
	return b.String()
}

func keyed(key []byte, text string) []byte {
	m := hmac.New(sha256.New, key)
	m.Write([]byte(text))
	return m.Sum(nil)
}

func (k *AWSKey) signingKey(s *signedRequest) []byte {
	return keyed(keyed(keyed(keyed([]byte("AWS4"+k.Secret), s.date), s.region), s.service), s.end)
}
