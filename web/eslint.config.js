import js from '@eslint/js';
import hooks from 'eslint-plugin-react-hooks';
import globals from 'globals';
import ts from 'typescript-eslint';

export default ts.config(
  { ignores: ['dist', 'node_modules'] },
  js.configs.recommended,
  ts.configs.strictTypeChecked,
  {
    languageOptions: {
      globals: globals.browser,
      parserOptions: { projectService: { allowDefaultProject: ['eslint.config.js'] }, tsconfigRootDir: import.meta.dirname },
    },
    plugins: { 'react-hooks': hooks },
    rules: {
      ...hooks.configs.recommended.rules,
      '@typescript-eslint/no-confusing-void-expression': ['error', { ignoreArrowShorthand: true }],
      '@typescript-eslint/restrict-template-expressions': ['error', { allowNumber: true }],
      'no-console': 'error',
      'max-lines': ['error', { max: 400, skipBlankLines: true }],
    },
  },
  {
    // The part that speaks to the server must run without a document: what it does not know, it cannot break.
    files: ['src/meeting/**', 'src/i18n/**'],
    rules: {
      'no-restricted-globals': ['error', 'document', 'window', 'HTMLElement', 'alert', 'localStorage'],
      'no-restricted-imports': ['error', { patterns: ['react', 'react-dom', '../ui/*'] }],
    },
  },
  {
    // Nothing else may speak to the server or to its client library.
    files: ['src/ui/**', 'src/app.tsx', 'src/main.tsx'],
    rules: { 'no-restricted-imports': ['error', { patterns: ['livekit-client'] }], 'no-restricted-globals': ['error', 'fetch', 'WebSocket'] },
  },
  { files: ['eslint.config.js'], extends: [ts.configs.disableTypeChecked] },
);
