package xds

import (
	awsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/common/aws/v3"
	signingv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/aws_request_signing/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	matcherv3 "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"

	"dragoman/internal/config"
)

// signer signs each attempt for AWS (SigV4), body included: Bedrock takes no unsigned payload, so Envoy holds the request's body back
// until it is whole.
func signer(c *config.Cluster) *hcmv3.HttpFilter {
	return httpFilter("envoy.filters.http.aws_request_signing", &signingv3.AwsRequestSigning{
		ServiceName: c.Signing.Service,
		Region:      c.Signing.Region,
		// The router writes the host of the attempt's endpoint only after the filters, and a signature is for one host.
		HostRewrite: authority(c),
		// Beside host and x-amz-*, which are always signed. What the codec may still change (content-length, te) must not be.
		MatchIncludedHeaders: []*matcherv3.StringMatcher{{MatchPattern: &matcherv3.StringMatcher_Exact{Exact: "content-type"}}},
		CredentialProvider:   awsCredential(c.Signing),
	})
}

// awsCredential is nil where Envoy looks for credentials itself: its environment, its profile, web identity, the container's or the
// instance's role. A pair of keys stands in the cluster, where Envoy's configuration dump masks it.
func awsCredential(s *config.Signing) *awsv3.AwsCredentialProvider {
	if s.Chain {
		return nil
	}
	return &awsv3.AwsCredentialProvider{InlineCredential: &awsv3.InlineCredentialProvider{
		AccessKeyId: s.AccessKeyID.Reveal(), SecretAccessKey: s.SecretAccessKey.Reveal(), SessionToken: s.SessionToken.Reveal(),
	}}
}
