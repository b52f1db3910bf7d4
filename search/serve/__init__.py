"""The local retrieval backend: HTTP, the page, and MCP."""
