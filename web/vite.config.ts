/// <reference types="vitest/config" />
import react from '@vitejs/plugin-react';
import { defineConfig } from 'vite';

const server = 'http://127.0.0.1:8080';

export default defineConfig({
  plugins: [react()],
  css: {
    preprocessorOptions: { scss: { quietDeps: true } },
  },
  build: {
    target: 'es2022',
    // The client library alone is above the default warning; the page needs it before anything else.
    chunkSizeWarningLimit: 1200,
    // Every asset is a file of its own, so that the content security policy needs no exception for scripts.
    assetsInlineLimit: 0,
  },
  server: {
    proxy: {
      '/api': { target: server },
      '/rtc': { target: server, ws: true },
    },
  },
  test: {
    environment: 'node',
    include: ['src/**/*.test.ts'],
  },
});
