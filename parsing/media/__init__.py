"""Pictures in and out: videos and images decoded, videos encoded, frames fetched ahead."""
