package server_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
)

// The pair of keys with which the tests sign; the canary is what must not leave in clear.
const (
	awsKeyID  = "AKIACANARY"
	awsSecret = "sk-canary-aws-secret"
)

// signedRight recomputes a request's signature as AWS does, from what arrived and the key that both sides know:
// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html.
func signedRight(got received, keyID, secret, region, service string) error {
	fields := map[string]string{}
	auth, ok := strings.CutPrefix(got.header.Get("Authorization"), "AWS4-HMAC-SHA256 ")
	if !ok {
		return fmt.Errorf("no signature: %v", got.header)
	}
	for part := range strings.SplitSeq(auth, ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(part), "=")
		fields[name] = value
	}
	date := got.header.Get("X-Amz-Date")
	if len(date) != len("20060102T150405Z") {
		return fmt.Errorf("x-amz-date %q", date)
	}
	scope := strings.Join([]string{date[:8], region, service, "aws4_request"}, "/")
	if fields["Credential"] != keyID+"/"+scope {
		return fmt.Errorf("credential %q, want %s/%s", fields["Credential"], keyID, scope)
	}
	body := sha256.Sum256([]byte(got.body))
	if sum := got.header.Get("X-Amz-Content-Sha256"); sum != hex.EncodeToString(body[:]) {
		return fmt.Errorf("x-amz-content-sha256 %q is not the body's", sum)
	}
	signed := strings.Split(fields["SignedHeaders"], ";")
	for _, required := range []string{"host", "x-amz-date", "content-type"} {
		if !slices.Contains(signed, required) {
			return fmt.Errorf("%s is not signed: %v", required, signed)
		}
	}
	canonical := canonicalRequest(got, signed, hex.EncodeToString(body[:]))
	sum := sha256.Sum256([]byte(canonical))
	key := []byte("AWS4" + secret)
	for _, part := range []string{date[:8], region, service, "aws4_request"} {
		key = mac(key, part)
	}
	if want := hex.EncodeToString(mac(key, "AWS4-HMAC-SHA256\n"+date+"\n"+scope+"\n"+hex.EncodeToString(sum[:]))); want != fields["Signature"] {
		return fmt.Errorf("signature %s, want %s over\n%s", fields["Signature"], want, canonical)
	}
	return nil
}

func canonicalRequest(got received, signed []string, body string) string {
	path, query, _ := strings.Cut(got.uri, "?")
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n%s\n%s\n", http.MethodPost, encodedTwice(path), query)
	for _, name := range signed {
		fmt.Fprintf(&b, "%s:%s\n", name, strings.TrimSpace(got.header.Get(name)))
	}
	fmt.Fprintf(&b, "\n%s\n%s", strings.Join(signed, ";"), body)
	return b.String()
}

// encodedTwice encodes a path that is encoded already, as every service but S3 wants it.
func encodedTwice(path string) string {
	var b strings.Builder
	for i := range len(path) {
		c := path[i]
		if c == '/' || c == '-' || c == '_' || c == '.' || c == '~' || '0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' {
			b.WriteByte(c)
			continue
		}
		fmt.Fprintf(&b, "%%%02X", c)
	}
	return b.String()
}

func mac(key []byte, data string) []byte {
	h := hmac.New(sha256.New, key)
	h.Write([]byte(data))
	return h.Sum(nil)
}

// The verifier must refuse what is signed wrong, and take AWS's own example.
func TestSignedRight(t *testing.T) {
	good := received{uri: "/model/a%3A0/converse", body: `{}`, header: http.Header{"Host": {"bedrock.example"}, "Content-Type": {"application/json"}, "X-Amz-Date": {"20260102T030405Z"}}}
	body := sha256.Sum256([]byte(good.body))
	good.header.Set("X-Amz-Content-Sha256", hex.EncodeToString(body[:]))
	sum := sha256.Sum256([]byte("POST\n/model/a%253A0/converse\n\ncontent-type:application/json\nhost:bedrock.example\nx-amz-date:20260102T030405Z\n\ncontent-type;host;x-amz-date\n" + hex.EncodeToString(body[:])))
	key := mac(mac(mac(mac([]byte("AWS4"+awsSecret), "20260102"), "us-east-1"), "bedrock"), "aws4_request")
	signature := hex.EncodeToString(mac(key, "AWS4-HMAC-SHA256\n20260102T030405Z\n20260102/us-east-1/bedrock/aws4_request\n"+hex.EncodeToString(sum[:])))
	good.header.Set("Authorization", "AWS4-HMAC-SHA256 Credential="+awsKeyID+"/20260102/us-east-1/bedrock/aws4_request, SignedHeaders=content-type;host;x-amz-date, Signature="+signature)
	if err := signedRight(good, awsKeyID, awsSecret, "us-east-1", "bedrock"); err != nil {
		t.Error(err)
	}
	for name, spoil := range map[string]func(*received){
		"body":   func(r *received) { r.body = `{ }` },
		"path":   func(r *received) { r.uri = "/model/a:0/converse" },
		"header": func(r *received) { r.header.Set("Content-Type", "text/plain") },
		"date":   func(r *received) { r.header.Set("X-Amz-Date", "20260102T030406Z") },
		"none":   func(r *received) { r.header.Del("Authorization") },
	} {
		bad := good
		bad.header = good.header.Clone()
		spoil(&bad)
		if signedRight(bad, awsKeyID, awsSecret, "us-east-1", "bedrock") == nil {
			t.Errorf("%s: a request that was changed passes", name)
		}
	}
}
