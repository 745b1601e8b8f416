ALTER TABLE [sales].[訂單] ADD CONSTRAINT [PK_訂單] DEFAULT (getutcdate()) FOR [modified];
